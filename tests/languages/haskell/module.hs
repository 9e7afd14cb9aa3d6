import Greeting

main :: IO ()
main = greet "module"
