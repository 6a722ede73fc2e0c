// Command load drives a WebSocket server from one thread and reports what the server spent.
//
//	load idle   --url ws://127.0.0.1:9001/       --pid PID --conns 15000 --hold 20s
//	load echo   --url ws://127.0.0.1:9001/       --pid PID --conns 64 --inflight 32 --size 128
//	load echo   --url ws://127.0.0.1:9001/       --pid PID --conns 64 --rate 50000
//	load stream --url ws://127.0.0.1:9002/ws     --pid PID --runs 2000 --rate 10 --burst 4
//	load stream --url http://127.0.0.1:9002/agui --pid PID --runs 5000 --rate 20 --burst 1
//	load fanout --url ws://127.0.0.1:9003/fanout --pid PID --conns 2000 --rate 20
//	load fanout --url ws://127.0.0.1:9002/ws     --pid PID --conns 1000 --rate 20 --protocol agloop.v1.json --viewers 10
//	load runs   --url ws://127.0.0.1:9002/ws     --pid PID --runs 1000 --protocol agloop.v1.json --viewers 10 --rate 5
//	load resume --url ws://127.0.0.1:9002/ws     --pid PID --clients 2000
//	load churn  --url ws://127.0.0.1:9001/       --pid PID --conns 64 --rate 8000
//	load hold   --url ws://127.0.0.1:9002/ws     --conns 19000
//	load echo   --url wss://127.0.0.1:9001/      --pid PID --conns 64
//	load idle   --url wss://127.0.0.1:9001/      --pid PID --conns 5000 --message 65536
//	load stream --url ws://127.0.0.1:9002/ws     --pid PID --runs 1000 --delta 40 --deflate takeover
//	load handshakes --url wss://127.0.0.1:9001/  --pid PID --rate 500
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
// idle with --message has each connection send one message and get it back before it rests: what a server keeps of the buffers that
// this took is in the memory then, and in the figure for a connection.
//
// With --tls, or wss:// in the URL, all modes but hold speak TLS. The certificate is not checked. crypto/tls runs on the load's one
// thread: it reads from memory what the load has received, and all records of one read are decrypted before their frames are handled
// and answered in one write. A handshake does as much work for the load as for the server, so a closed loop of handshakes has both at
// their limit at once: their CPU wants --rate. handshakes is churn without echo and farewell: connect, handshake, upgrade, reset.
// Without --resume-sessions every handshake is a full one; with it a connection offers the ticket of an earlier one, and resumed is
// the share of those that the server took. conns_per_core_s is how many a core of the server could do in a second by its CPU.
//
// stream with --deflate offers compression (RFC 7692) and fails if the server does not take it. Every message is inflated, with one
// reader for all messages of a connection where the server keeps a context. wire_bytes_per_event counts frames with their headers, as
// they came, and wire_share is that by the bytes they would be without compression; TLS is in neither. bytes_per_conn is what the
// server's memory has grown by since before the connections were opened, garbage included.
//
// With --protocol agloop.v1.json runs have a log (docs/protocol.md): stream, fanout and runs then follow
// the selectors of each connection, and a gap between offsets is an error, as is a refusal. fanout has
// runs in the place of its publisher, each with so many viewers, and frames of the same size; the
// viewers of a run join the session of the connection that starts it.
//
// runs reads memory. Runs say everything, at an even pace, and stay live; the server's RSS is read
// before they begin, with all connections open, and some seconds after the last event, and the
// difference divided by their number. 64 runs share a connection, so that what is counted is runs and
// viewers. Without a log a connection has one run. ledger_per_run is what agloop stream itself counts
// (GET /stats), which must also have so many live runs and viewers.
//
// resume resets all connections at once, has the runs go on for --away, and dials all at once: each
// client binds its session, attaches behind what it has received, and has its latency from its own dial
// to the first event that comes then. Its runs go on to their end, so that every event is known to have come
// once: by its offset, and by its text, which begins one letter later than that of the event before.
//
// Everything between two waits for events is written to cost as little as possible, so that the
// server is the bottleneck: sockets are edge-triggered and read once for each event, the clock is
// read once for each read, frames are built once, one buffer serves every read, the measured part
// allocates nothing but where it decodes one event in 61 for a check or where crypto/tls does, and
// system calls that cannot block skip the Go scheduler.
package main
