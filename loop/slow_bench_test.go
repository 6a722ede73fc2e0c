package loop_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
)

// BenchmarkSlowReaders has a server send to each of many peers as fast as backpressure lets it,
// while the peers read a little in turn: 1,000 without pause, and 9,000 that take 4 KiB each five
// times a second. One operation is a quarter of a second. cpu-ms is what the process spent in it,
// the reading included: compare builds, not columns.
func BenchmarkSlowReaders(b *testing.B) {
	for _, bb := range []struct {
		name  string
		peers int
		bite  int
		pause time.Duration
	}{
		{"1000 without pause", 1000, 16 << 10, 0},
		{"9000 trickling", 9000, 4 << 10, 200 * time.Millisecond},
	} {
		b.Run(bb.name, func(b *testing.B) {
			block := make([]byte, 4<<10)
			fill := func(c *loop.Conn) {
				for c.Send(frame.Binary, block) == loop.Sent {
				}
			}
			h := open(b, loop.DoorConfig{
				Limits:  loop.Limits{SoftLimit: 32 << 10, WriteTimeout: -1, PingInterval: -1},
				Handler: &handler{message: func(c *loop.Conn, _ frame.Opcode, _ []byte) { fill(c) }, drain: fill},
			})
			fds := make([]int, bb.peers)
			for i := range fds {
				nc := h.narrow(b, 16<<10)
				nc.Put(text("go"))
				fds[i] = descriptor(nc.TCP())
			}
			stop, read := make(chan struct{}), make(chan int64, 1)
			go func() { // the readers
				var n int64
				buf := make([]byte, bb.bite)
				for tick := time.NewTicker(max(bb.pause, 1)); ; {
					for _, fd := range fds {
						if m, _ := syscall.Read(fd, buf); m > 0 {
							n += int64(m)
						}
					}
					select {
					case <-stop:
						read <- n
						return
					case <-tick.C:
					}
				}
			}()
			time.Sleep(time.Second) // the kernel's buffers are full by now
			spent := processTime()
			b.ResetTimer()
			for range b.N {
				time.Sleep(250 * time.Millisecond)
			}
			b.StopTimer()
			cpu := processTime() - spent
			close(stop)
			b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(<-read)/1e6/(b.Elapsed()+time.Second).Seconds(), "MB/s")
		})
	}
}

func descriptor(nc *net.TCPConn) (fd int) {
	raw, err := nc.SyscallConn()
	if err != nil {
		panic(err)
	}
	_ = raw.Control(func(n uintptr) { fd = int(n) })
	return fd
}

func processTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
