package deflate

import "strconv"

// Params are what both sides agreed on (RFC 7692 §7.1). The zero value is no compression.
type Params struct {
	On bool
	// ServerNoTakeover and ClientNoTakeover say that the messages of that side are each deflated by
	// themselves, §7.1.1.
	ServerNoTakeover, ClientNoTakeover bool
	// ServerBits and ClientBits are the logarithm of the window of that side's messages, 8 to 15; 15
	// unless one was named, §7.1.2.
	ServerBits, ClientBits int
}

// Config is what one side wants.
type Config struct {
	// Takeover allows the peer to keep its context between messages. That costs up to 32 KiB for each
	// connection, for an [Inflater]; else the peer is asked not to. What we send is not concerned:
	// that depends on what the peer asks for.
	Takeover bool
}

const (
	extension        = "permessage-deflate"
	serverNoTakeover = "server_no_context_takeover"
	clientNoTakeover = "client_no_context_takeover"
	serverBits       = "server_max_window_bits"
	clientBits       = "client_max_window_bits"

	maxBits = 15
)

// Accept chooses among the offers of a client: the values of Sec-WebSocket-Extensions in their order.
// It takes the first that is valid and returns the value to answer with; others, also those that
// have an error, are passed over (RFC 7692 §5.1). When there is none, p is zero and response empty.
//
// Any window is granted that the client asks for. None is asked of the client: without takeover it
// would save nothing, since an Inflater that is at rest has no window.
func Accept(offers []string, cfg Config) (p Params, response string) {
	for _, list := range offers {
		for list != "" {
			var text string
			text, list = cutElement(list)
			if e, ok := parseElement(text); ok && e.name == extension && e.serverBits != noValue {
				return e.accept(cfg)
			}
		}
	}
	return Params{}, ""
}

func (e *element) accept(cfg Config) (p Params, response string) {
	p = Params{
		On:               true,
		ServerNoTakeover: e.serverNoTakeover,
		// A client that offers not to keep its context does not, §7.1.1.2: to say so in return lets
		// us drop ours.
		ClientNoTakeover: e.clientNoTakeover || !cfg.Takeover,
		ServerBits:       maxBits,
		ClientBits:       maxBits,
	}
	response = extension
	if p.ServerNoTakeover {
		response += "; " + serverNoTakeover
	}
	if p.ClientNoTakeover {
		response += "; " + clientNoTakeover
	}
	if e.serverBits != absent { // §7.1.2.1: the answer must repeat it
		p.ServerBits = e.serverBits
		response += "; " + serverBits + "=" + strconv.Itoa(p.ServerBits)
	}
	return p, response
}

// Offer is the value of Sec-WebSocket-Extensions in a client's request. It lets the server name our
// window, which costs us nothing.
func Offer(cfg Config) string {
	if cfg.Takeover {
		return extension + "; " + clientBits
	}
	return extension + "; " + serverNoTakeover + "; " + clientBits
}

// Confirm reads the answer to an [Offer] with the same Config: the values of Sec-WebSocket-Extensions
// in a server's response. Without any the Params are zero. With an error the handshake fails, as RFC
// 7692 §7.1 demands for all that is unknown, invalid, there twice, or not what was offered.
func Confirm(response []string, cfg Config) (Params, error) {
	var p Params
	for _, list := range response {
		for list != "" {
			var text string
			text, list = cutElement(list)
			if text == "" { // RFC 9110 §5.6.1.2: empty elements count for nothing
				continue
			}
			e, ok := parseElement(text)
			switch {
			case !ok:
				return Params{}, errMalformed
			case e.name != extension || p.On: // RFC 6455 §4.1, item 5 of the response
				return Params{}, errNotOffered
			case e.serverBits == noValue || e.clientBits == noValue:
				return Params{}, errMalformed
			case !cfg.Takeover && !e.serverNoTakeover: // §7.1.1.1
				return Params{}, errTakeover
			}
			p = Params{
				On:               true,
				ServerNoTakeover: e.serverNoTakeover,
				ClientNoTakeover: e.clientNoTakeover,
				ServerBits:       e.serverBits,
				ClientBits:       e.clientBits,
			}
			if p.ServerBits == absent {
				p.ServerBits = maxBits
			}
			if p.ClientBits == absent {
				p.ClientBits = maxBits
			}
		}
	}
	return p, nil
}
