local queens, found = {}, {}

local function is_free(row, column)
  for other = 1, row - 1 do
    local distance = math.abs(queens[other] - column)
    if distance == 0 or distance == row - other then return false end
  end
  return true
end

local function place(row)
  if row > 8 then
    found[#found + 1] = table.concat(queens, " ")
    return
  end
  for column = 1, 8 do
    if is_free(row, column) then
      queens[row] = column
      place(row + 1)
    end
  end
end

place(1)
print(found[1])
print(#found)
