module greeting
  use names
  implicit none
contains
  subroutine greet()
    print "(a)", "Hello, " // first // "!"
  end subroutine greet
end module greeting
