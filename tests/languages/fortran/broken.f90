program broken
  implicit none
  never = 1 ! HERE
end program broken
