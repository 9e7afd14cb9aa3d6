module Main where

import Control.Concurrent
import Control.Monad
import GHC.Stack (HasCallStack)
import System.Environment (getArgs)
import System.Exit
import System.IO
import System.Process (callProcess)

failLoudly :: HasCallStack => Int
failLoudly = error "no such luck" -- HERE

main :: IO ()
main = do
  [check] <- getArgs
  case check of
    "hello" -> putStrLn "Hello, World!"
    "stderr" -> hPutStrLn stderr "oops"
    "exit" -> exitWith (ExitFailure 3)
    "echo" -> interact id
    "error" -> print failLoudly
    "process" -> callProcess "echo" ["process"]
    "threads" -> do
      results <- forM [1 .. 4] $ \n -> do
        result <- newEmptyMVar
        _ <- forkIO (putMVar result n)
        return result
      sums <- mapM takeMVar results
      print (sum sums :: Int)
    "lines" -> mapM_ print [1 .. 100000 :: Int]
    "live" -> putStrLn "live" >> threadDelay 60000000
    "prompt" -> do
      putStr "name? "
      name <- getLine
      putStrLn ("hello " ++ name)
    _ -> return ()
