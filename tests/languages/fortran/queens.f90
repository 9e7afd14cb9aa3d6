program queens
  implicit none
  integer :: board(8), first(8), found

  found = 0
  call place(1)
  print "(i0, 7(1x, i0))", first
  print "(i0)", found

contains

  recursive subroutine place(row)
    integer, intent(in) :: row
    integer :: column

    if (row > 8) then
      if (found == 0) first = board
      found = found + 1
      return
    end if
    do column = 1, 8
      if (.not. is_free(row, column)) cycle
      board(row) = column
      call place(row + 1)
    end do
  end subroutine place

  logical function is_free(row, column)
    integer, intent(in) :: row, column
    integer :: other

    is_free = .true.
    do other = 1, row - 1
      if (board(other) == column .or. abs(board(other) - column) == row - other) is_free = .false.
    end do
  end function is_free
end program queens
