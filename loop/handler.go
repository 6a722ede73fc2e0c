package loop

import "github.com/agloop/agloop/codec/frame"

// Handler receives what happens on a connection. All methods run on the connection's loop, one at a
// time for one connection; they must not block, for every other connection of that loop waits
// meanwhile. A panic closes this one connection with 1011.
type Handler interface {
	// OnOpen is called once, when the opening handshake is done.
	OnOpen(c *Conn)
	// OnMessage is called for each whole data message, op being Text or Binary. Text is valid
	// UTF-8. payload is valid until OnMessage returns.
	OnMessage(c *Conn, op frame.Opcode, payload []byte)
	// OnDrain is called when a connection whose Send answered Backpressure has drained to its
	// low-water mark, or is cut or closing: Send answers Dropped then.
	OnDrain(c *Conn)
	// OnClose is called once for every OnOpen, when the connection is gone. why is never nil.
	OnClose(c *Conn, why *CloseError)
}

// NopHandler does nothing; embed it to write only the callbacks you need.
type NopHandler struct{}

// OnOpen implements Handler.
func (NopHandler) OnOpen(*Conn) {}

// OnMessage implements Handler.
func (NopHandler) OnMessage(*Conn, frame.Opcode, []byte) {}

// OnDrain implements Handler.
func (NopHandler) OnDrain(*Conn) {}

// OnClose implements Handler.
func (NopHandler) OnClose(*Conn, *CloseError) {}

// SendResult is what became of a message given to Send.
type SendResult uint8

const (
	// Dropped: the connection is closed or closing, or was cut because its peer does not read; the
	// message will not be sent.
	Dropped SendResult = iota
	// Sent: the message is on its way.
	Sent
	// Backpressure: the message is on its way, but more waits than the soft limit allows. Stop
	// sending until OnDrain.
	Backpressure
)

func (r SendResult) String() string {
	switch r {
	case Sent:
		return "sent"
	case Backpressure:
		return "backpressure"
	}
	return "dropped"
}
