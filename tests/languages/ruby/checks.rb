def fail_loudly
  raise "no such luck" # HERE
end

case ARGV.shift
when "hello" then puts "Hello, World!"
when "stderr" then warn "oops"
when "exit" then exit 3
when "echo" then $stdin.each_line { |line| print line }
when "error" then fail_loudly
when "process" then system("echo", "process")
when "threads" then puts (1..4).map { |n| Thread.new { n } }.sum(&:value)
when "lines" then (1..100_000).each { |n| puts n }
when "live"
  puts "live"
  sleep 60
when "prompt"
  print "name? "
  puts "hello #{gets}"
end
