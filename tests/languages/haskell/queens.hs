solutions :: [Int] -> [[Int]]
solutions queens
  | length queens == 8 = [reverse queens]
  | otherwise = concat [solutions (column : queens) | column <- [1 .. 8], isFree column]
  where
    isFree column = and [other /= column && abs (other - column) /= rows | (rows, other) <- zip [1 ..] queens]

main :: IO ()
main = do
  let found = solutions []
  putStrLn (unwords (map show (head found)))
  print (length found)
