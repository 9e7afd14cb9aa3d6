program sum_of_numbers
  implicit none
  character(len=1000) :: line
  integer, parameter :: long = selected_int_kind(18)
  integer(long) :: number, total
  integer :: status, first, last

  total = 0
  do
    read (*, "(a)", iostat=status) line
    if (status /= 0) exit
    last = 0
    do
      first = last + verify(line(last + 1:), " ")
      if (first == last) exit
      last = first + scan(line(first:) // " ", " ") - 1
      read (line(first:last), *) number
      total = total + number
    end do
  end do
  print "(i0)", total
end program sum_of_numbers
