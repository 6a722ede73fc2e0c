// Command load drives a WebSocket server from one thread and reports what the server spent.
//
//	load idle   --url ws://127.0.0.1:9001/   --pid PID --conns 15000 --hold 20s
//	load echo   --url ws://127.0.0.1:9001/   --pid PID --conns 64 --inflight 32 --size 128
//	load stream --url ws://127.0.0.1:9002/ws --pid PID --runs 2000 --rate 10 --burst 4
//
// It prints one line of key=value; with --json that line goes to stderr and stdout carries one JSON object.
// It ends with status 1 when a message was lost, changed, reordered or malformed: figures of a server that answers
// wrongly are worth nothing.
//
// Everything between two epoll_waits is written to cost as little as possible, so that the server is the bottleneck:
// frames are built once, one buffer serves every read, the measured part allocates nothing, and system calls that
// cannot block skip the Go scheduler.
package main
