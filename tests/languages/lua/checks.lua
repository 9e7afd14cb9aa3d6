local function fail()
  error("no such luck") -- HERE
end

local checks = {
  hello = function() print("Hello, World!") end,
  stderr = function() io.stderr:write("oops\n") end,
  exit = function() os.exit(3) end,
  echo = function() for line in io.lines() do print(line) end end,
  error = fail,
  process = function() os.execute("echo process") end,
  lines = function() for n = 1, 100000 do print(n) end end,
  live = function()
    print("live")
    os.execute("sleep 60")
  end,
  prompt = function()
    io.write("name? ")
    print("hello " .. io.read())
  end,
}
checks[arg[1]]()
