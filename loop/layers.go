package loop

import (
	"syscall"

	"github.com/agloop/agloop/batch"
	"github.com/panjf2000/gnet/v2"
)

// layers is the sock of a connection whose frames do not go to the kernel as they are: TLS encrypts
// them. What waits in the outbox are frames; what has been made of them waits in ahead, at most
// maxAhead bytes, so that a frame that is dropped or overtaken was never encrypted.
type layers struct {
	gnet.Conn

	// Immutable.
	link *tlsLink
}

// maxAhead is how many bytes are encrypted at most before the kernel has taken them: with what two
// records add they fit a buffer of 32 KiB.
const maxAhead = 31 << 10

// layers are those of c; nil for none. Any goroutine that may write, and the loop.
func (c *Conn) layers() *layers {
	if !c.marked(markLayers) {
		return nil
	}
	return c.sock.(*layers)
}

// addLayers puts link between the frames of c and the kernel. On the loop, before anything is sent.
func (c *Conn) addLayers(link *tlsLink) *layers {
	c.loop.owner.check()
	ly := &layers{Conn: c.sock, link: link}
	c.sock = ly
	c.marks.Or(markLayers)
	return ly
}

// removeLayers takes them away again, from a connection that leaves its loop.
func (c *Conn) removeLayers() {
	c.loop.owner.check()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks.And(^markLayers)
	c.sock = c.gnetConn()
}

// gnetConn is the connection as gnet knows it.
func (c *Conn) gnetConn() gnet.Conn {
	if ly, ok := c.sock.(*layers); ok {
		return ly.Conn
	}
	return c.sock
}

// written is what became of bytes that were offered.
type written struct {
	asked int // bytes offered
	taken int // of them, bytes that need not be offered again
	sent  int // bytes that the kernel took
}

// writeQueue offers the first limit bytes of o to the kernel, or to the layers. The error is EAGAIN
// while the kernel has no room. Under mu, see writeOut.
func (c *Conn) writeQueue(o *outbox, limit int) (w written, err error) {
	ly := c.layers()
	if ly == nil {
		w.asked, w.taken, err = o.write(int(c.fd), limit)
		w.sent = w.taken
		return w, err
	}
	var room [batch.MaxSlices][]byte
	if limit = min(limit, maxAhead-ly.link.out.size()); limit > 0 {
		for _, p := range o.Slices(room[:0], limit) {
			w.asked += len(p)
			if err = ly.link.encrypt(p); err != nil {
				break
			}
			w.taken += len(p)
		}
	}
	if err == nil {
		w.sent, err = ly.link.out.flush(int(c.fd))
	}
	o.ahead = ly.link.out.size()
	return w, err
}

// writeFrames offers a and b, which lie behind each other and have nothing before them. Under mu,
// see writeOut.
func (c *Conn) writeFrames(a, b []byte) (w written, err error) {
	w.asked = len(a) + len(b)
	switch ly := c.layers(); {
	case ly != nil:
		err = ly.writeFrames(int(c.fd), &w, a, b)
		return w, err
	case len(b) == 0 && len(a) <= maxRaw:
		w.taken, err = sendRaw(int(c.fd), a)
	default:
		w.taken, err = sendParts(int(c.fd), [][]byte{a, b})
	}
	w.sent = w.taken
	return w, err
}

func (ly *layers) writeFrames(fd int, w *written, parts ...[]byte) error {
	for _, p := range parts {
		for len(p) > 0 {
			n := min(len(p), maxAhead-ly.link.out.size())
			if n <= 0 {
				if err := ly.flush(fd, w); err != nil {
					return err
				}
				continue
			}
			if err := ly.link.encrypt(p[:n]); err != nil {
				return err
			}
			w.taken += n
			p = p[n:]
		}
	}
	return ly.flush(fd, w)
}

func (ly *layers) flush(fd int, w *written) error {
	n, err := ly.link.out.flush(fd)
	w.sent += n
	return err
}

// pending reports whether bytes wait below the outbox.
func (ly *layers) pending() bool { return ly != nil && ly.link.out.size() > 0 }

// heardGoodbye reports whether the peer has said that nothing more comes.
func (ly *layers) heardGoodbye() bool { return ly != nil && ly.link.eof }

// sayGoodbye has the last thing said before our side of the socket is shut down, and reports whether
// the kernel has taken it. On the loop; nothing waits.
func (c *Conn) sayGoodbye() bool {
	c.loop.owner.check()
	ly := c.layers()
	if ly == nil || !ly.link.ready {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = ly.link.tls.CloseWrite() // once; its error is that of the write below
	c.ensureOutbox().ahead = ly.link.out.size()
	err := c.writeOut(0)
	if err != nil && err != errKernelFull && err != syscall.EAGAIN {
		c.dropOutbox()
		return true // nobody is there to be told
	}
	return err == nil
}
