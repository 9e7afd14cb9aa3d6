program checks
  implicit none
  character(len=16) :: check
  character(len=80) :: line
  integer :: n, status, total
  integer :: numbers(4) = [1, 2, 3, 4]

  call get_command_argument(1, check)
  select case (check)
  case ("hello")
    print "(a)", "Hello, World!"
  case ("stderr")
    write (0, "(a)") "oops"
  case ("exit")
    stop 3
  case ("echo")
    do
      read (*, "(a)", iostat=status) line
      if (status /= 0) exit
      print "(a)", trim(line)
    end do
  case ("error")
    n = len_trim(check)
    print *, numbers(n) ! HERE
  case ("process")
    call execute_command_line("echo process")
  case ("threads")
    total = 0
    !$omp parallel do num_threads(4) reduction(+:total)
    do n = 1, 4
      total = total + n
    end do
    print "(i0)", total
  case ("lines")
    do n = 1, 100000
      print "(i0)", n
    end do
  case ("live")
    print "(a)", "live"
    call sleep(60)
  case ("prompt")
    write (*, "(a)", advance="no") "name? "
    read (*, "(a)") line
    print "(a)", "hello " // trim(line)
  end select
end program checks
