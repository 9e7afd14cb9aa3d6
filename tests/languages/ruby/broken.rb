puts "never"
puts (1 + ) # HERE
