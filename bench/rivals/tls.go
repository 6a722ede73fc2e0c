package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"
)

// selfSigned makes a certificate for this machine and its key, ECDSA on P-256, as PEM blocks.
func selfSigned() (cert, key []byte) {
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // no randomness
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, secret.Public(), secret)
	if err != nil {
		panic(err) // the template is wrong
	}
	coded, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: coded})
}

// config has nothing but the certificate: all else is as Go has it, TLS 1.3 with session tickets.
func (s setup) config() (*tls.Config, error) {
	cert, err := tls.X509KeyPair(selfSigned())
	return &tls.Config{Certificates: []tls.Certificate{cert}}, err
}

func (s setup) listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", s.addr)
	if err != nil || !s.tls {
		return ln, err
	}
	cfg, err := s.config()
	return tls.NewListener(ln, cfg), err
}

func (s setup) serveHTTP(h http.Handler) error {
	if !s.tls {
		return http.ListenAndServe(s.addr, h)
	}
	cfg, err := s.config()
	if err != nil {
		return err
	}
	// The default logs each connection that ends before its handshake, as those do that ask whether it listens.
	srv := http.Server{Addr: s.addr, Handler: h, TLSConfig: cfg, ErrorLog: log.New(io.Discard, "", 0)}
	return srv.ListenAndServeTLS("", "")
}
