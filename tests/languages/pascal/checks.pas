program Checks;
{$mode objfpc}
uses
  cthreads, SysUtils, Unix;

var
  Total, N, Divisor: Integer;
  Threads: array[1..4] of TThreadID;
  Line: string;

function Add(Number: Pointer): PtrInt;
begin
  InterlockedExchangeAdd(Total, Integer(PtrUInt(Number)));
  Add := 0;
end;

procedure Fail;
begin
  Divisor := ParamCount - 1;
  WriteLn(1 div Divisor); { HERE }
end;

begin
  case ParamStr(1) of
    'hello': WriteLn('Hello, World!');
    'stderr': WriteLn(StdErr, 'oops');
    'exit': Halt(3);
    'echo':
      while not Eof do
      begin
        ReadLn(Line);
        WriteLn(Line);
      end;
    'error': Fail;
    'process': N := fpSystem('echo process');
    'threads':
      begin
        for N := 1 to 4 do Threads[N] := BeginThread(@Add, Pointer(PtrUInt(N)));
        for N := 1 to 4 do WaitForThreadTerminate(Threads[N], 0);
        WriteLn(Total);
      end;
    'lines': for N := 1 to 100000 do WriteLn(N);
    'live':
      begin
        WriteLn('live');
        Sleep(60000);
      end;
    'prompt':
      begin
        Write('name? ');
        ReadLn(Line);
        WriteLn('hello ', Line);
      end;
  end;
end.
