package loop

import (
	"syscall"

	"github.com/agloop/agloop/batch"
	"github.com/agloop/agloop/codec/deflate"
	"github.com/panjf2000/gnet/v2"
)

// layers is the sock of a connection whose frames do not go to the kernel as they are: they are
// compressed, TLS encrypts them, or both. What waits in the outbox are frames as they were sent; what
// has been made of them waits in out, at most maxAhead bytes, so that a frame that is dropped or
// overtaken was never compressed or encrypted.
type layers struct {
	gnet.Conn

	// Immutable.
	link *tlsLink // nil: no TLS
	out  *ahead   // of the link, where there is one

	// Any goroutine, under Conn.mu.
	deflating *deflating // nil: no compression
}

// maxAhead is how many bytes are made at most before the kernel has taken them: with what two records
// of TLS add they fit a buffer of 32 KiB.
const maxAhead = 31 << 10

// layers are those of c; nil for none. Any goroutine that may write, and the loop.
func (c *Conn) layers() *layers {
	if !c.marked(markLayers) {
		return nil
	}
	return c.sock.(*layers)
}

// addLink puts TLS between the frames of c and the kernel. On the loop, before anything is sent.
func (c *Conn) addLink(link *tlsLink) {
	c.loop.owner.check()
	c.sock = &layers{Conn: c.sock, link: link, out: &link.out}
	c.marks.Or(markLayers)
}

// addAgreed has the messages of c compressed from now on, where h says that this was agreed on. On the
// loop, before the handler is told of c.
func (c *Conn) addAgreed(h *transient) {
	c.loop.owner.check()
	if !h.deflate.On {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ly := c.layers()
	if ly == nil {
		ly = &layers{Conn: c.sock, out: new(ahead)}
		c.sock = ly
		c.marks.Or(markLayers)
	}
	ly.deflating = newDeflating(c.endpoint, h.deflate)
	h.deflate = deflate.Params{}
}

// isSecure reports whether there is TLS among them. ly may be nil.
func (ly *layers) isSecure() bool { return ly != nil && ly.link != nil }

// deflates reports whether messages are compressed. Under Conn.mu, or on the loop; ly may be nil.
func (ly *layers) deflates() bool { return ly != nil && ly.deflating != nil }

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
	if ly := c.layers(); ly != nil {
		return c.writeQueueLayered(ly, o, limit)
	}
	w.asked, w.taken, err = o.write(int(c.fd), limit)
	w.sent = w.taken
	return w, err
}

// writeQueueLayered is the part of writeQueue for connections that have layers. Inlined it would
// enlarge the stacks of all that send.
//
//go:noinline
func (c *Conn) writeQueueLayered(ly *layers, o *outbox, limit int) (w written, err error) {
	room := maxAhead - ly.out.size()
	if ly.deflates() {
		w.taken, err = ly.deflating.drain(ly, o, c.endpoint, room)
		w.asked = w.taken
	} else if limit = min(limit, room); limit > 0 {
		var parts [batch.MaxSlices][]byte
		for _, p := range o.Slices(parts[:0], limit) {
			w.asked += len(p)
			if err = ly.add(p); err != nil {
				break
			}
			w.taken += len(p)
		}
	}
	if err == nil {
		w.sent, err = ly.out.flush(int(c.fd))
	}
	o.ahead = ly.size()
	return w, err
}

// add makes bytes for the kernel of p. Under Conn.mu.
func (ly *layers) add(p []byte) error {
	if ly.link != nil {
		return ly.link.encrypt(p)
	}
	return ly.out.add(p)
}

// size is the number of bytes that were made, as far as they wait. Under Conn.mu.
func (ly *layers) size() int { return ly.out.size() + ly.deflating.size() }

// memory is what they hold, in bytes. Under Conn.mu.
func (ly *layers) memory() int { return ly.out.memory() + ly.deflating.memory() }

// release gives the buffers back. Under Conn.mu.
func (ly *layers) release() {
	ly.out.release()
	ly.deflating.release()
}

// writeFrames offers a and b, which lie behind each other and have nothing before them. Under mu,
// see writeOut.
func (c *Conn) writeFrames(a, b []byte) (w written, err error) {
	w.asked = len(a) + len(b)
	switch ly := c.layers(); {
	case ly != nil: // TLS: what may be compressed waits in the outbox first
		err = c.writeEncrypted(ly, &w, a, b)
		return w, err
	case len(b) == 0 && len(a) <= maxRaw:
		w.taken, err = sendRaw(int(c.fd), a)
	default:
		w.taken, err = sendParts(int(c.fd), [][]byte{a, b})
	}
	w.sent = w.taken
	return w, err
}

//go:noinline
func (c *Conn) writeEncrypted(ly *layers, w *written, parts ...[]byte) error {
	flush := func() error {
		n, err := ly.out.flush(int(c.fd))
		w.sent += n
		return err
	}
	for _, p := range parts {
		for len(p) > 0 {
			n := min(len(p), maxAhead-ly.out.size())
			if n <= 0 {
				if err := flush(); err != nil {
					return err
				}
				continue
			}
			if err := ly.add(p[:n]); err != nil {
				return err
			}
			w.taken += n
			p = p[n:]
		}
	}
	return flush()
}

// pending reports whether bytes wait below the outbox. Under Conn.mu; ly may be nil.
func (ly *layers) pending() bool { return ly != nil && ly.size() > 0 }

// heardGoodbye reports whether the peer has said that nothing more comes.
func (ly *layers) heardGoodbye() bool { return ly.isSecure() && ly.link.eof }

// sayGoodbye has the last thing said before our side of the socket is shut down, and reports whether
// the kernel has taken it. On the loop; nothing waits.
func (c *Conn) sayGoodbye() bool {
	c.loop.owner.check()
	ly := c.layers()
	if !ly.isSecure() || !ly.link.ready {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = ly.link.tls.CloseWrite() // once; its error is that of the write below
	c.ensureOutbox().ahead = ly.size()
	err := c.writeOut(0)
	if err != nil && err != errKernelFull && err != syscall.EAGAIN {
		c.dropOutbox()
		return true // nobody is there to be told
	}
	return err == nil
}
