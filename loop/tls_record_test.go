package loop_test

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/internal/testkit"
)

// The types of records and of handshake messages (RFC 8446 §5.1, §4).
const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
	keyUpdate       = 24
)

// recordPeer is a client of TLS 1.3 that does the handshake and reads as crypto/tls does, and writes
// its records by itself.
type recordPeer struct {
	*peer
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// connectRecords does the handshake of TLS.
func (h *house) connectRecords(t testing.TB) *recordPeer {
	t.Helper()
	var log bytes.Buffer
	cfg := testkit.ClientTLS()
	cfg.KeyLogWriter, cfg.MinVersion = &log, tls.VersionTLS13
	p := &recordPeer{peer: &peer{testkit.ConnectTLS(t, h.addr, 0, cfg), t, h}}
	state := p.Conn.(*tls.Conn).ConnectionState()
	if state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("cipher suite %#x", state.CipherSuite) // what crypto/tls prefers where AES is in hardware
	}
	for lines := bufio.NewScanner(&log); lines.Scan(); {
		if f := strings.Fields(lines.Text()); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			p.use(secret)
		}
	}
	return p
}

// use derives the keys of a secret (RFC 8446 §7.3).
func (p *recordPeer) use(secret []byte) {
	p.t.Helper()
	block, err := aes.NewCipher(p.expand(secret, "key", 16))
	if err != nil {
		p.t.Fatal(err)
	}
	if p.aead, err = cipher.NewGCM(block); err != nil {
		p.t.Fatal(err)
	}
	p.secret, p.iv, p.seq = secret, p.expand(secret, "iv", 12), 0
}

// expand is HKDF-Expand-Label (RFC 8446 §7.1).
func (p *recordPeer) expand(secret []byte, label string, n int) []byte {
	p.t.Helper()
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(info, byte(len(label))), label...)
	key, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

// record is the next record, of that type.
func (p *recordPeer) record(kind byte, data []byte) []byte {
	inner := append(bytes.Clone(data), kind)
	head := []byte{recordData, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(head[3:], uint16(len(inner)+p.aead.Overhead()))
	nonce := slices.Clone(p.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, p.seq) {
		nonce[4+i] ^= b
	}
	p.seq++
	return p.aead.Seal(head, nonce, inner, head)
}

// data is what carries these bytes in records of so many each.
func (p *recordPeer) data(b []byte, size int) (records []byte) {
	for part := range slices.Chunk(b, size) {
		records = append(records, p.record(recordData, part)...)
	}
	return records
}

// keyUpdate is a record that changes the keys of those after it. asked wants that of the other side.
func (p *recordPeer) keyUpdate(asked bool) []byte {
	b := []byte{keyUpdate, 0, 0, 1, 0}
	if asked {
		b[4] = 1
	}
	r := p.record(recordHandshake, b)
	p.use(p.expand(p.secret, "traffic upd", sha256.Size))
	return r
}

// putRaw writes bytes below TLS.
func (p *recordPeer) putRaw(b []byte) {
	p.t.Helper()
	if _, err := p.TCP().Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// upgrade does the opening handshake.
func (p *recordPeer) upgrade() {
	p.t.Helper()
	p.putRaw(p.data(request(), maxRecord))
	p.WantSwitch()
}

const maxRecord = 16 << 10
