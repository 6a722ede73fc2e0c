package loop

import (
	"time"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/deflate"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
)

// Compression says whether messages are compressed, by permessage-deflate (RFC 7692). See
// docs/security.md on secrets beside text that others choose.
type Compression struct {
	// Enabled has a server accept it from clients that offer it, and a client offer it.
	Enabled bool
	// Takeover lets the peer keep its context between messages, which costs up to 32 KiB for each
	// connection; else it is asked not to. What is sent costs no context in any case: it is compressed
	// by the last message, of which up to 2 KiB are kept while messages flow.
	Takeover bool
	// Threshold is the smallest message that is compressed, in bytes. 0 is 32 where the peer keeps its
	// context and 512 where it does not; negative compresses every message.
	Threshold int
	// Plain says of a message that it is not to be compressed, such as one with a secret beside text
	// that somebody else chooses. It is called in the goroutine that sends, for each message that
	// would be compressed, with a lock held: it must ask nothing of the connection or the run, and not
	// keep the message. nil is none.
	Plain func(message []byte) bool
}

func (c *Compression) config() deflate.Config { return deflate.Config{Takeover: c.Takeover} }

const (
	thresholdAlone = 512 // bytes, of a message that is compressed by itself
	thresholdAfter = 32  // of one that may resemble the last
	// restsAfter is how long after the last message what was kept of it is dropped.
	restsAfter = 10 * time.Second
)

const extensionsField = "Sec-Websocket-Extensions"

// offers are the extensions that a request asks for.
func offers(req *handshake.Request) (list []string) {
	for value := range req.Field("sec-websocket-extensions") {
		list = append(list, string(value))
	}
	return list
}

// agree chooses among the extensions that a client offers, and returns the response's.
func (c *Conn) agree(offers []string) (response string) {
	if compression := &c.endpoint.compression; compression.Enabled && len(offers) > 0 {
		var p deflate.Params
		if p, response = deflate.Accept(offers, compression.config()); p.On {
			c.ensureTransient().deflate = p
		}
	}
	return response
}

// deflating is the compression of one connection.
type deflating struct {
	// Immutable.
	takeover bool // the peer keeps its context
	bits     int  // of its window

	// Any goroutine, under Conn.mu.
	last *deflate.Sent   // nil: none that the peer has
	made *bufpool.Buffer // frames that were compressed, as far as they are not in ahead; nil: none
	done int             // bytes of made that are

	// This loop.
	inflater *deflate.Inflater
	counted  int // bytes of it in the ledger
}

func newDeflating(p *Endpoint, agreed deflate.Params) *deflating {
	if p.door != nil {
		return &deflating{
			takeover: !agreed.ServerNoTakeover, bits: agreed.ServerBits,
			inflater: deflate.NewInflater(!agreed.ClientNoTakeover),
		}
	}
	return &deflating{
		takeover: !agreed.ClientNoTakeover, bits: agreed.ClientBits,
		inflater: deflate.NewInflater(!agreed.ServerNoTakeover),
	}
}

// wants reports whether a message is to be compressed when it leaves.
func (d *deflating) wants(p *Endpoint, op frame.Opcode, payload []byte) bool {
	least := p.compression.Threshold
	switch {
	case least == 0 && d.takeover:
		least = thresholdAfter
	case least == 0:
		least = thresholdAlone
	}
	return !op.Control() && len(payload) >= least && (p.compression.Plain == nil || !p.compression.Plain(payload))
}

// markDeflate notes in a frame that waits whether it is to be compressed.
func markDeflate(b []byte, compressed bool) {
	if compressed {
		b[0] |= frame.Compressed
	}
}

// size is how many bytes wait in made. d may be nil.
func (d *deflating) size() int {
	if d == nil || d.made == nil {
		return 0
	}
	return len(d.made.B) - d.done
}

// memory is what d holds besides what others share, in bytes. d may be nil.
func (d *deflating) memory() int {
	if d == nil || d.made == nil {
		return 0
	}
	return d.made.Cap()
}

// release drops what waits. d may be nil.
func (d *deflating) release() {
	if d != nil && d.made != nil {
		d.made.Release()
		d.made, d.done = nil, 0
	}
}

// forget ends the connection's inflating, and returns what that held in the ledger. On the loop; d may be nil.
func (d *deflating) forget() (counted int) {
	if d != nil {
		counted, d.counted = d.counted, 0
		d.last = nil
	}
	return counted
}

// drain makes up to room bytes of the frames of o, and gives them to the layer below. taken is how many
// bytes of o went into them: whole frames, behind the rest of one that was raw.
func (d *deflating) drain(ly *layers, o *outbox, p *Endpoint, room int) (taken int, err error) {
	for room > 0 && (taken < o.Bytes() || d.size() > 0) {
		for taken < o.Bytes() && d.size() < room {
			if raw := o.partial - taken; raw > 0 { // the response of the handshake
				b := o.From(taken)
				b = b[:min(len(b), raw)]
				copy(d.extend(len(b)), b)
				taken += len(b)
				continue
			}
			b := o.From(taken)
			size := frame.SizeOf(b)
			if len(b) < size {
				whole := bufpool.Get(size)
				d.compress(o.CopyTo(whole.B, taken, size), p)
				whole.Release()
			} else {
				d.compress(b[:size], p)
			}
			taken += size
		}
		n, err := d.pass(ly, room)
		if err != nil {
			return taken, err
		}
		room -= n
	}
	return taken, nil
}

// pass gives up to room bytes of made to the layer below.
func (d *deflating) pass(ly *layers, room int) (n int, err error) {
	if n = min(room, d.size()); n == 0 {
		return 0, nil
	}
	err = ly.add(d.made.B[d.done : d.done+n])
	if d.done += n; d.size() == 0 {
		d.release()
	}
	return n, err
}

// extend returns n bytes at the end of made.
func (d *deflating) extend(n int) []byte {
	if d.made == nil {
		d.made = bufpool.Get(n)
	}
	d.made = d.made.Grow(n)
	at := len(d.made.B)
	d.made.B = d.made.B[:at+n]
	return d.made.B[at:]
}

// compress appends to made what one whole frame becomes.
func (d *deflating) compress(b []byte, p *Endpoint) {
	op := frame.Opcode(b[0] & 0xF)
	payload := b[frame.HeaderLen(b):]
	var bit byte
	if b[0]&frame.Compressed != 0 {
		if p.tuned.Load().PlainOnly {
			d.last = nil
		} else if deflated := d.deflate(payload, &p.eng.deflated); deflated != nil {
			payload, bit = deflated, frame.Compressed
		}
	}
	made := d.extend(frame.HeaderSize(len(payload), p.masks != nil) + len(payload))
	putFrame(made, op, payload, p.masks)
	made[0] |= bit
}

// deflate returns what payload becomes; nil: it is sent plain.
func (d *deflating) deflate(payload []byte, cache *deflate.Cache) []byte {
	if !d.takeover {
		deflated, _ := cache.Next(nil, payload, d.bits)
		if len(deflated) >= len(payload) {
			return nil
		}
		return deflated
	}
	deflated, next := cache.Next(d.last, payload, d.bits)
	d.last = next
	return deflated
}

// restDeflating drops what was kept of the last message when no other has followed for some time.
func (c *Conn) restDeflating() {
	if !c.marked(markLayers) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.loop.eng.now()
	if ly := c.layers(); ly.deflates() && now-c.lastFlush(now) > int64(restsAfter) {
		ly.deflating.last = nil
	}
}

// deliverInflated gives a compressed message to the handler.
func (c *Conn) deliverInflated(m frame.Message) {
	c.loop.owner.check()
	l, d := c.loop, c.layers().deflating
	before := cap(l.inflated)
	out, err := d.inflater.Inflate(l.inflated[:0], m.Payload, c.endpoint.limits.MaxMessage)
	l.inflated = out[:0]
	if n := d.inflater.Memory() - d.counted; n != 0 {
		d.counted += n
		c.Hold(n)
	}
	extra := cap(out) - before
	c.Hold(extra)
	defer func() {
		c.Hold(-extra)
		if cap(l.inflated) > maxInflated {
			l.inflated = nil
		}
	}()
	if err == nil && m.Opcode == frame.Text {
		err = frame.CheckText(out)
	}
	if err != nil {
		c.fail(inflateError(err))
		return
	}
	c.deliverData(frame.Message{Opcode: m.Opcode, Payload: out})
}

// maxInflated is the largest buffer that a loop keeps to inflate into, in bytes.
const maxInflated = 64 << 10

// inflateError is the close code of an error of Inflate.
func inflateError(err error) error {
	code := frame.CloseInvalidPayload
	switch err {
	case deflate.ErrTooBig, deflate.ErrRatio:
		code = frame.CloseTooBig
	case deflate.ErrEmpty:
		code = frame.CloseProtocolError
	case deflate.ErrCorrupt:
	default:
		return err
	}
	return &frame.ProtocolError{Code: code, Reason: err.Error()}
}
