words <- scan(file("stdin"), what = "", quiet = TRUE)
cat(length(words), "\n", sep = "")
