package deflate

import (
	"strings"
	"testing"
)

var (
	keep = Config{Takeover: true}
	drop = Config{}
)

// params are those of an extension that is on, with 15 bits where it says 0.
func params(serverNo, clientNo bool, serverBits, clientBits int) Params {
	if serverBits == 0 {
		serverBits = 15
	}
	if clientBits == 0 {
		clientBits = 15
	}
	return Params{true, serverNo, clientNo, serverBits, clientBits}
}

func TestAccept(t *testing.T) {
	const pmd = "permessage-deflate"
	for _, tc := range []struct {
		offer    string // the fields, one a line
		cfg      Config
		want     Params
		response string
	}{
		{pmd, keep, params(false, false, 0, 0), pmd},
		{pmd, drop, params(false, true, 0, 0), pmd + "; client_no_context_takeover"},
		// What browsers, gorilla, coder and ws offer.
		{pmd + "; client_max_window_bits", drop, params(false, true, 0, 0), pmd + "; client_no_context_takeover"},
		{
			pmd + "; server_no_context_takeover; client_no_context_takeover", keep, params(true, true, 0, 0),
			pmd + "; server_no_context_takeover; client_no_context_takeover",
		},
		{pmd + "; client_no_context_takeover", keep, params(false, true, 0, 0), pmd + "; client_no_context_takeover"},
		{pmd + "; server_max_window_bits=10", keep, params(false, false, 10, 0), pmd + "; server_max_window_bits=10"},
		{pmd + `; server_max_window_bits="10"`, keep, params(false, false, 10, 0), pmd + "; server_max_window_bits=10"},
		{pmd + `; server_max_window_bits="1\0"`, keep, params(false, false, 10, 0), pmd + "; server_max_window_bits=10"},
		{pmd + "; server_max_window_bits=8", keep, params(false, false, 8, 0), pmd + "; server_max_window_bits=8"},
		{pmd + "; server_max_window_bits=15", keep, params(false, false, 15, 0), pmd + "; server_max_window_bits=15"},
		{pmd + "; client_max_window_bits=9", keep, params(false, false, 0, 0), pmd},
		{"permessage-deflate;server_no_context_takeover ;\tclient_max_window_bits = 15", keep, params(true, false, 0, 0), pmd + "; server_no_context_takeover"},

		// Others are passed over, with or without errors, within a field and over several.
		{"", keep, Params{}, ""},
		{" , ,", keep, Params{}, ""},
		{"x-webkit-deflate-frame", keep, Params{}, ""},
		{"Permessage-Deflate", keep, Params{}, ""},
		{`bbf-usp; eid="a,b", ` + pmd, keep, params(false, false, 0, 0), pmd},
		{"x-a; b; b=c, , " + pmd + "; server_max_window_bits=99," + pmd + "; server_max_window_bits=9," + pmd, keep, params(false, false, 9, 0), pmd + "; server_max_window_bits=9"},
		{"x-a\n" + pmd + ";\n" + pmd, keep, params(false, false, 0, 0), pmd},
		{pmd + `; server_max_window_bits="10, ` + pmd, keep, Params{}, ""}, // the quote has no end
		{pmd + `; server_max_window_bits="10` + "\n" + pmd, keep, params(false, false, 0, 0), pmd},
	} {
		got, response := Accept(strings.Split(tc.offer, "\n"), tc.cfg)
		if got != tc.want || response != tc.response {
			t.Errorf("%q, %+v:\n have %+v %q\n want %+v %q", tc.offer, tc.cfg, got, response, tc.want, tc.response)
		}
	}
	if p, response := Accept(nil, keep); p != (Params{}) || response != "" {
		t.Errorf("without an offer: %+v %q", p, response)
	}
}

// badParameters cannot stand in an offer nor in an answer (RFC 7692 §7.1).
var badParameters = []string{
	";",
	"; ",
	"; ;",
	"; =",
	"; =9",
	" server_no_context_takeover",
	"; unknown",
	"; unknown=1",
	"; Server_no_context_takeover",

	"; server_no_context_takeover=1",
	"; server_no_context_takeover=true",
	`; server_no_context_takeover=""`,
	"; server_no_context_takeover=",
	"; client_no_context_takeover=1",
	"; client_no_context_takeover; client_no_context_takeover",
	"; server_no_context_takeover; client_no_context_takeover; server_no_context_takeover",

	"; server_max_window_bits", // the server's window has a value even when it is asked for
	"; server_max_window_bits; server_max_window_bits=10",
	"; server_max_window_bits=10; server_max_window_bits=10",
	"; server_max_window_bits=9; server_max_window_bits=10",
	"; client_max_window_bits; client_max_window_bits",
	"; client_max_window_bits=10; client_max_window_bits",
	"; client_max_window_bits=10; client_max_window_bits=10",

	"; server_max_window_bits=10 11",
	`; server_max_window_bits="10"1`,
	`; server_max_window_bits="10`,
	`; server_max_window_bits="10\`,
	"; server_max_window_bits=10;",
}

var badBits = []string{
	"", `""`, "0", "7", "16", "999", "08", "-8", "+8", "8.0", "0x8", "1e1", "015", "99999999999999999999", "x", `"`, `"\"`,
	`" 10"`, `"10 "`, `"08"`, `"7"`, `"1,0"`, "'10'", "10\x00", "\xb9", "8\t9", "=8",
}

func allBad() []string {
	bad := badParameters
	for _, v := range badBits {
		bad = append(bad, "; server_max_window_bits="+v, "; client_max_window_bits="+v)
	}
	return bad
}

// TestBadParameters: what is wrong is declined by a server and ends a client's handshake.
func TestBadParameters(t *testing.T) {
	for _, bad := range allBad() {
		if p, response := Accept([]string{extension + bad}, keep); p != (Params{}) || response != "" {
			t.Errorf("%q is accepted: %+v %q", bad, p, response)
		}
		if p, err := Confirm([]string{extension + bad}, keep); p != (Params{}) || err == nil {
			t.Errorf("%q is taken for an answer: %+v", bad, p)
		}
	}
}

func TestOffer(t *testing.T) {
	if o := Offer(keep); o != "permessage-deflate; client_max_window_bits" {
		t.Error(o)
	}
	if o := Offer(drop); o != "permessage-deflate; server_no_context_takeover; client_max_window_bits" {
		t.Error(o)
	}
}

func TestConfirm(t *testing.T) {
	const pmd = "permessage-deflate"
	for _, tc := range []struct {
		response string // the fields, one a line
		cfg      Config
		want     Params
		err      error
	}{
		{"", keep, Params{}, nil},
		{" , ", drop, Params{}, nil},
		{pmd, keep, params(false, false, 0, 0), nil},
		{", " + pmd + " ,", keep, params(false, false, 0, 0), nil},
		{pmd + "; server_no_context_takeover", keep, params(true, false, 0, 0), nil},
		{pmd + "; server_no_context_takeover", drop, params(true, false, 0, 0), nil},
		{pmd + "; server_no_context_takeover; client_no_context_takeover", drop, params(true, true, 0, 0), nil},
		{pmd + "; client_max_window_bits=8; server_max_window_bits=12", keep, params(false, false, 12, 8), nil},
		{pmd + `; client_max_window_bits="15"`, keep, params(false, false, 0, 15), nil},

		{pmd, drop, Params{}, errTakeover}, // we keep no window, so the server must not use one
		{pmd + "; client_no_context_takeover", drop, Params{}, errTakeover},
		{pmd + "; client_max_window_bits", keep, Params{}, errMalformed}, // in an answer it has a value
		{pmd + ", " + pmd, keep, Params{}, errNotOffered},
		{pmd + "\n" + pmd, keep, Params{}, errNotOffered},
		{"x-webkit-deflate-frame", keep, Params{}, errNotOffered},
		{"Permessage-deflate", keep, Params{}, errNotOffered},
		{pmd + ", x-a", keep, Params{}, errNotOffered},
		{"x-a, " + pmd, keep, Params{}, errNotOffered},
		{";", keep, Params{}, errMalformed},
		{"\x00", keep, Params{}, errMalformed},
	} {
		got, err := Confirm(strings.Split(tc.response, "\n"), tc.cfg)
		if got != tc.want || err != tc.err {
			t.Errorf("%q, %+v:\n have %+v %v\n want %+v %v", tc.response, tc.cfg, got, err, tc.want, tc.err)
		}
	}
	if p, err := Confirm(nil, drop); p != (Params{}) || err != nil {
		t.Errorf("without an answer: %+v, %v", p, err)
	}
}

// TestOfferAcceptConfirm: both of our sides agree, whatever each wants.
func TestOfferAcceptConfirm(t *testing.T) {
	for _, client := range []Config{keep, drop} {
		for _, server := range []Config{keep, drop} {
			p, response := Accept([]string{Offer(client)}, server)
			if want := params(!client.Takeover, !server.Takeover, 0, 0); p != want {
				t.Errorf("client %+v, server %+v: %+v", client, server, p)
			}
			if q, err := Confirm([]string{response}, client); q != p || err != nil {
				t.Errorf("client %+v, server %+v: %q is read as %+v, %v", client, server, response, q, err)
			}
		}
	}
}
