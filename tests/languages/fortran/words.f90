program words
  implicit none
  character(len=1) :: letter
  integer :: status, count
  logical :: is_space, is_inside

  count = 0
  is_inside = .false.
  do
    read (*, "(a)", advance="no", iostat=status) letter
    if (is_iostat_end(status)) exit
    is_space = is_iostat_eor(status) .or. letter == " " .or. letter == achar(9)
    if (.not. is_space .and. .not. is_inside) count = count + 1
    is_inside = .not. is_space
  end do
  print "(i0)", count
end program words
