module names
  implicit none
  character(len=6), parameter :: first = "module"
end module names
