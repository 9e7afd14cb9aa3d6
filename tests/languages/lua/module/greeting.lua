return { greet = function(name) print("Hello, " .. name .. "!") end }
