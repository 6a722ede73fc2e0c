package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"

	"github.com/agloop/agloop/server"
)

// secure has cfg speak TLS where that was asked for.
func (l *listening) secure(cfg *server.Config) error {
	cfg.TrimTLS = l.tlsTrim
	cfg.Compression.Enabled, cfg.Compression.Takeover = l.deflate || l.takeover, l.takeover
	if !l.tlsSelfSigned {
		return nil
	}
	cert, err := selfSigned()
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	l.tls = cfg.TLS
	return err
}

// scheme is ws or wss.
func (l *listening) scheme() string {
	if l.tlsSelfSigned {
		return "wss"
	}
	return "ws"
}

// selfSigned makes a certificate for localhost and loopback addresses.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "agloop"},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
