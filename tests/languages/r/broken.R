cat("never\n")
number <- <- 1 # HERE
