package loop

import (
	"bytes"
	"io"
	"net"
	"sync"
	"time"
)

// What requests are answered that are not let in.
var (
	fullResponse     = errFull.AppendResponse(nil)
	pressureResponse = errPressure.AppendResponse(nil)
	networkResponse  = errNetwork.AppendResponse(nil)
)

const (
	refusalRead  = time.Second            // for the request of a connection that is refused, and its end
	refusalWrite = 100 * time.Millisecond // for the answer, which fits the buffer of a fresh socket
	refusalBytes = 64 << 10               // that are read of it
)

// turnaways are the refusals of one Accept, which never waits for any of them.
type turnaways struct {
	door *Door
	done sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // whose request is being read
}

func newTurnaways(d *Door) *turnaways {
	return &turnaways{door: d, conns: make(map[net.Conn]struct{})}
}

// turnAway answers nc and closes it: after its request and in a goroutine of its own while the
// reserve of descriptors lasts, and else at once, which may reset the connection under the answer
// but cannot be used to hold up those behind it.
func (r *turnaways) turnAway(nc net.Conn, response []byte) {
	r.door.Counters.Refused.Add(1)
	if r.door.tls != nil { // it would have to be secured first to be told
		_ = nc.Close()
		return
	}
	select {
	case r.door.refusalTokens <- struct{}{}:
	default:
		writeAnswer(nc, response)
		_ = nc.Close()
		return
	}
	_ = nc.SetReadDeadline(time.Now().Add(refusalRead))
	r.mu.Lock()
	r.conns[nc] = struct{}{}
	r.mu.Unlock()
	r.done.Go(func() {
		readHead(nc)
		writeAnswer(nc, response)
		if h, ok := nc.(interface{ CloseWrite() error }); ok && h.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, nc, refusalBytes) // unread bytes would reset the answer
		}
		r.mu.Lock()
		delete(r.conns, nc)
		r.mu.Unlock()
		_ = nc.Close()
		<-r.door.refusalTokens
	})
}

// end answers those whose request is not there yet, and waits until all are closed.
func (r *turnaways) end() {
	r.mu.Lock()
	for nc := range r.conns {
		_ = nc.SetReadDeadline(time.Unix(1, 0)) // has passed
	}
	r.mu.Unlock()
	r.done.Wait()
}

// readHead reads one request head, or what there is of it. Whatever ends it, the answer is the
// same.
func readHead(nc net.Conn) {
	var buf [1024]byte
	kept := 0 // the last bytes of the read before, in which the end may begin
	for total := 0; total < refusalBytes; {
		n, err := nc.Read(buf[kept:])
		if bytes.Contains(buf[:kept+n], headEnd) || err != nil {
			return
		}
		total += n
		kept = copy(buf[:], buf[max(0, kept+n-len(headEnd)+1):kept+n])
	}
}

var headEnd = []byte("\r\n\r\n")

func writeAnswer(nc net.Conn, response []byte) {
	_ = nc.SetWriteDeadline(time.Now().Add(refusalWrite))
	_, _ = nc.Write(response)
}
