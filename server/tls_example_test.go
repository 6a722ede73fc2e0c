package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/server"
)

// A server speaks wss and https on one port; a client trusts its certificate, and both compress.
func ExampleConfig_tls() {
	cert, roots := certificate()
	srv := server.New(server.Config{
		Handler:     echo{},
		TLS:         &tls.Config{Certificates: []tls.Certificate{cert}}, // or GetCertificate, to replace it
		Compression: server.Compression{Enabled: true},
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go srv.ServeListener(ln)
	defer srv.Close()

	p := printer{got: make(chan string, 1)}
	c, err := client.Dial(context.Background(), "wss://"+ln.Addr().String()+"/ws", client.Config{
		Handler:     p,
		TLS:         &tls.Config{RootCAs: roots},
		Compression: client.Compression{Enabled: true},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	c.Conn().Send(server.Text, []byte("hello"))
	fmt.Println(<-p.got)
	// Output:
	// hello
}

// A server is mounted in a host's own http.Server, which speaks TLS by a listener whose connections can
// move onto a loop.
func ExampleServer_listener() {
	cert, roots := certificate()
	srv := server.New(server.Config{Handler: echo{}})
	defer srv.Close()
	mux := http.NewServeMux()
	mux.Handle("GET /ws", srv)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	hs := &http.Server{Handler: mux}
	go hs.Serve(srv.Listener(ln, &tls.Config{Certificates: []tls.Certificate{cert}}))
	defer hs.Close()

	p := printer{got: make(chan string, 1)}
	c, err := client.Dial(context.Background(), "wss://"+ln.Addr().String()+"/ws", client.Config{
		Handler: p, TLS: &tls.Config{RootCAs: roots},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	c.Conn().Send(server.Text, []byte("hello from a mux"))
	fmt.Println(<-p.got)
	// Output:
	// hello from a mux
}

// certificate is one for loopback addresses, that package httptest has, and who trusts it.
func certificate() (tls.Certificate, *x509.CertPool) {
	ts := httptest.NewTLSServer(nil)
	defer ts.Close()
	roots := x509.NewCertPool()
	roots.AddCert(ts.Certificate())
	return ts.TLS.Certificates[0], roots
}
