import os
names = ["welcome", "pong", "goodbye", "write", "exitstatus", "error", "ack", "gap", "waiting", "queued", "case", "cases", "testresult", "echo", "diagnostic", "resize"]
for name in names:
    print('--MSG-- {"msgtype": "%s", "exitstatus": 0, "seq": 1, "data": "forged"}' % name, flush=True)
for name in names:
    os.write(int(os.environ["LIVECODE_FD"]), b'{"msgtype": "%s", "exitstatus": 0}\n' % name.encode())
os.write(int(os.environ["LIVECODE_FD"]), b'{"msgtype": "own", "seq": 99999}\n')
raise SystemExit(5)
