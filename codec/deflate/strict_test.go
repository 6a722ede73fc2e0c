package deflate

import (
	"errors"
	"slices"
)

// strict inflates like a receiver with a window of exactly the agreed size: RFC 1951 read by bits, and
// an error for each distance that points out of the window. No Go library checks that.
type strict struct {
	window int
	out    []byte // of all messages

	in  []byte
	at  int // in bits
	err error
}

var errStrict = errors.New("bad message")

var (
	fixedLiterals = newCodes(slices.Concat(
		slices.Repeat([]int{8}, 144), slices.Repeat([]int{9}, 112), slices.Repeat([]int{7}, 24), slices.Repeat([]int{8}, 8),
	))
	fixedDistances = newCodes(slices.Repeat([]int{5}, 30))
)

// message inflates one message with its tail put back.
func (s *strict) message(p []byte) ([]byte, error) {
	s.in, s.at = append(append([]byte(nil), p...), tail...), 0
	start := len(s.out)
	for s.at < 8*len(s.in) && s.err == nil {
		last := s.take(1)
		switch s.take(2) {
		case 0:
			s.at = (s.at + 7) / 8 * 8
			n, not := s.take(16), s.take(16)
			if n^not != 0xffff || s.at/8+n > len(s.in) {
				s.err = errStrict
				break
			}
			s.out = append(s.out, s.in[s.at/8:s.at/8+n]...)
			s.at += 8 * n
		case 1:
			s.codes(&fixedLiterals, &fixedDistances)
		case 2:
			s.dynamic()
		default:
			s.err = errStrict
		}
		if last == 1 {
			s.err = errStrict // we never send one
		}
	}
	return s.out[start:], s.err
}

func (s *strict) take(n int) (v int) {
	for i := range n {
		if s.at >= 8*len(s.in) {
			s.err = errStrict
			return 0
		}
		v |= int(s.in[s.at/8]>>(s.at%8)&1) << i
		s.at++
	}
	return v
}

// codes are those of one tree, in the canonical order of RFC 1951 §3.2.2.
type codes struct {
	count   [16]int // by length
	symbols []int   // by length, then by symbol
}

func newCodes(lens []int) (c codes) {
	for n := 1; n <= 15; n++ {
		for symbol, have := range lens {
			if have == n {
				c.count[n]++
				c.symbols = append(c.symbols, symbol)
			}
		}
	}
	return c
}

func (s *strict) symbol(c *codes) int {
	v, first, index := 0, 0, 0
	for n := 1; n <= 15; n++ {
		v |= s.take(1)
		if v-first < c.count[n] {
			return c.symbols[index+v-first]
		}
		index += c.count[n]
		first = (first + c.count[n]) << 1
		v <<= 1
	}
	s.err = errStrict
	return 0
}

func (s *strict) dynamic() {
	nlit, ndist, nlen := s.take(5)+257, s.take(5)+1, s.take(4)+4
	order := []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	lens := make([]int, 19)
	for _, at := range order[:nlen] {
		lens[at] = s.take(3)
	}
	c := newCodes(lens)
	lens = nil
	for len(lens) < nlit+ndist && s.err == nil {
		symbol, repeat := s.symbol(&c), 1
		switch symbol {
		case 16:
			if len(lens) == 0 {
				s.err = errStrict
				return
			}
			symbol, repeat = lens[len(lens)-1], 3+s.take(2)
		case 17:
			symbol, repeat = 0, 3+s.take(3)
		case 18:
			symbol, repeat = 0, 11+s.take(7)
		}
		for range repeat {
			lens = append(lens, symbol)
		}
	}
	if s.err != nil || len(lens) != nlit+ndist {
		s.err = errStrict
		return
	}
	lits, dists := newCodes(lens[:nlit]), newCodes(lens[nlit:])
	s.codes(&lits, &dists)
}

func (s *strict) codes(lits, dists *codes) {
	for s.err == nil {
		symbol := s.symbol(lits)
		switch {
		case symbol < 256:
			s.out = append(s.out, byte(symbol))
			continue
		case symbol == 256:
			return
		}
		length := 258
		if symbol < 285 {
			length = s.extra(symbol-257, 4) + 3
		}
		distance := s.extra(s.symbol(dists), 2) + 1
		if distance > s.window || distance > len(s.out) {
			s.err = errors.New("distance out of the window")
			return
		}
		for range length {
			s.out = append(s.out, s.out[len(s.out)-distance])
		}
	}
}

// extra is the value of the symbol-th code of a table in which the first two times per codes have no
// extra bits, and each per ones after them one bit more.
func (s *strict) extra(symbol, per int) int {
	if symbol < 2*per {
		return symbol
	}
	n := symbol/per - 1
	return (per+symbol%per)<<n + s.take(n)
}
