program module_beside
  use greeting, only: greet
  implicit none
  call greet()
end program module_beside
