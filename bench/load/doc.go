// Command load drives a WebSocket server from one thread and reports what the server spent.
//
//	load idle   --url ws://127.0.0.1:9001/       --pid PID --conns 15000 --hold 20s
//	load echo   --url ws://127.0.0.1:9001/       --pid PID --conns 64 --inflight 32 --size 128
//	load echo   --url ws://127.0.0.1:9001/       --pid PID --conns 64 --rate 50000
//	load stream --url ws://127.0.0.1:9002/ws     --pid PID --runs 2000 --rate 10 --burst 4
//	load fanout --url ws://127.0.0.1:9003/fanout --pid PID --conns 2000 --rate 20
//	load churn  --url ws://127.0.0.1:9001/       --pid PID --conns 64 --rate 8000
//	load hold   --url ws://127.0.0.1:9002/ws     --conns 19000
//
// It prints one line of key=value; with --json that line goes to stderr and stdout carries one JSON
// object. It ends with status 1 when a message was lost, changed, reordered or malformed: figures
// of a server that answers wrongly are worth nothing.
//
// echo comes in two kinds. As a closed loop, with --inflight, each reply brings the next message
// about: that finds the most a server can do and what it spends on it. Its latencies are service
// times, taken from the write that sent a message, and they are too low: a server that stalls is
// sent nothing more meanwhile, so the messages that would have waited are missing (coordinated
// omission). Claims about latency need the open loop, with --rate: messages are due evenly in time
// and sent then whatever has come back, and a latency counts from the time the message was due.
// fanout and stream are open loops too. kept says which share of the rate came in the window, and
// sent_late_… how late the load itself sent, which is part of every latency.
//
// On a core of its own (--cpu) the load does not sleep within a window. Over the loopback a send
// also delivers, and would be charged with waking the receiver, some µs on a virtual machine;
// receivers elsewhere are not woken by the server. load_cores and load_us_per_… leave out the time
// spent waiting.
//
// churn counts whole lives, in a closed loop or, with --rate, in an open one: connect, upgrade, one
// echo, close frames both ways, end of the stream. The server closes the socket first, as RFC 6455
// §7.1.1 has it, and so keeps the pair of ports for a minute (TIME_WAIT); the load leaves from 249
// addresses in turn, lest a pair comes up again in that time. A server that leaves the socket open
// is cut off with a reset after 100 ms; left_open counts those, and their latency ends at the close
// frame.
//
// Everything between two waits for events is written to cost as little as possible, so that the
// server is the bottleneck: sockets are edge-triggered and read once for each event, the clock is
// read once for each read, frames are built once, one buffer serves every read, the measured part
// allocates nothing but where it decodes one event in 61 for a check, and system calls that cannot
// block skip the Go scheduler.
package main
