-- | Makes standard input and output of a program behave as on a terminal, and then runs it. A line
-- is written when it is complete, and the rest before the program waits for input.
module LiveCodeTerminal (main) where

import Control.Concurrent.MVar (putMVar, takeMVar)
import GHC.IO.BufferedIO (BufferedIO (..), readBuf, writeBuf)
import GHC.IO.Device (IODevice (..), RawIO (..))
import GHC.IO.FD (FD)
import qualified GHC.IO.FD as FD
import GHC.IO.Handle.Internals (mkHandle)
import GHC.IO.Handle.Types (Handle (..), HandleType (ReadHandle))
import qualified Main
import System.IO

-- | Standard input. Before it is read, standard output is flushed.
newtype TerminalInput = TerminalInput FD

instance RawIO TerminalInput where
  read (TerminalInput fd) buffer offset count = hFlush stdout >> GHC.IO.Device.read fd buffer offset count
  readNonBlocking (TerminalInput fd) buffer offset count =
    hFlush stdout >> readNonBlocking fd buffer offset count
  write (TerminalInput fd) = write fd
  writeNonBlocking (TerminalInput fd) = writeNonBlocking fd

instance IODevice TerminalInput where
  ready (TerminalInput fd) = ready fd
  close (TerminalInput fd) = close fd
  isTerminal (TerminalInput fd) = isTerminal fd
  isSeekable (TerminalInput fd) = isSeekable fd
  devType (TerminalInput fd) = devType fd
  dup (TerminalInput fd) = TerminalInput <$> dup fd
  dup2 (TerminalInput fd) (TerminalInput other) = TerminalInput <$> dup2 fd other

instance BufferedIO TerminalInput where
  newBuffer (TerminalInput fd) = newBuffer fd
  fillReadBuffer (TerminalInput fd) buffer = hFlush stdout >> fillReadBuffer fd buffer
  fillReadBuffer0 (TerminalInput fd) buffer = hFlush stdout >> fillReadBuffer0 fd buffer
  flushWriteBuffer (TerminalInput fd) = flushWriteBuffer fd
  flushWriteBuffer0 (TerminalInput fd) = flushWriteBuffer0 fd

main :: IO ()
main = do
  hSetBuffering stdout LineBuffering
  encoding <- hGetEncoding stdin
  input <- mkHandle (TerminalInput FD.stdin) "<stdin>" ReadHandle True encoding nativeNewlineMode Nothing Nothing
  case (stdin, input) of
    (FileHandle _ old, FileHandle _ new) -> takeMVar new >>= \state -> takeMVar old >> putMVar old state
    _ -> return ()
  -- The program's `main` may have any result.
  _ <- Main.main
  return ()
