{ Every program uses this unit first. It makes standard output behave as on a terminal: Free Pascal
  keeps what goes to a pipe in a buffer until that is full. }
unit LiveCodeTerminal;

interface

{ A program's threads need that this unit is the first of all. }
uses
  cthreads;

implementation

initialization
  TextRec(Output).FlushFunc := TextRec(Output).InOutFunc;
end.
