main :: IO ()
main = interact $ \text -> show (length (words text)) ++ "\n"
