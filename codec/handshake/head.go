package handshake

import (
	"bytes"
	"net/http"
)

// HeadLimits bounds what a peer may send before the blank line that ends an HTTP head. In every
// field zero means the default and a negative value means no limit.
type HeadLimits struct {
	// MaxBytes limits the whole head, blank line included. Default 8 KiB.
	MaxBytes int
	// MaxFields limits the field lines. Default 64.
	MaxFields int
	// MaxRequestLine limits the first line in bytes, without its line end. Default 4 KiB.
	MaxRequestLine int
}

const (
	defaultMaxBytes       = 8 << 10
	defaultMaxFields      = 64
	defaultMaxRequestLine = 4 << 10
	noLimit               = int(^uint(0)>>1) - 2 // room for a line end on top
)

func limitOr(value, fallback int) int {
	switch {
	case value < 0:
		return noLimit
	case value == 0:
		return fallback
	}
	return min(value, noLimit)
}

// ScanHead looks for the end of a request or response head. buf holds all bytes received so far,
// from is the offset the previous call returned, 0 at first. No byte is searched twice, so a head
// that arrives byte by byte costs linear time in total.
//
// head is the length of the head including its blank line, 0 while more bytes are needed; bytes
// behind the head are not looked at. err is an *[UpgradeError]: 414 for a first line that is too
// long, 431 for a head with too many bytes or fields. The outcome does not depend on how buf
// arrived.
//
// Lines that end in LF alone count as lines here, as they do for net/http, so that a plain HTTP
// client that sends them gets its answer at once. The parsers refuse them in a WebSocket handshake.
func ScanHead(buf []byte, from int, lim HeadLimits) (head, next int, err error) {
	maxBytes := limitOr(lim.MaxBytes, defaultMaxBytes)
	firstLine := limitOr(lim.MaxRequestLine, defaultMaxRequestLine) + len("\r\n")

	// This is checked once, when the bytes received first exceed the limit. It comes before the
	// search, because a first line without an end cannot contain the end of the head.
	if firstLine <= maxBytes && from < firstLine && len(buf) >= firstLine &&
		bytes.IndexByte(buf[:firstLine], '\n') < 0 {
		return 0, from, errLongLine
	}

	end := min(len(buf), maxBytes)
	for at := min(from, end); ; {
		n := bytes.IndexByte(buf[at:end], '\n')
		if n < 0 {
			break
		}
		at += n + 1
		if !blankLine(buf[:at]) {
			continue
		}
		// Two lines are no fields: the first one and the blank one.
		if bytes.Count(buf[:at], lineFeed)-2 > limitOr(lim.MaxFields, defaultMaxFields) {
			return 0, from, errManyFields
		}
		return at, at, nil
	}
	if len(buf) > maxBytes {
		return 0, from, errLongHead
	}
	return 0, end, nil
}

var lineFeed = []byte{'\n'}

// blankLine reports whether b, which ends in LF, ends in an empty line after another line.
func blankLine(b []byte) bool {
	i := len(b) - 2
	if i >= 0 && b[i] == '\r' {
		i--
	}
	return i >= 0 && b[i] == '\n'
}

// CheckHead holds a request that net/http has read to the limits of bytes and fields, as [ScanHead]
// does those of the reactor: net/http's own bound is some kilobytes less exact.
func CheckHead(r *http.Request, lim HeadLimits) *UpgradeError {
	size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len("  \r\n\r\n")
	fields := 0
	count := func(name, value string) {
		size += len(name) + len(": \r\n") + len(value)
		fields++
	}
	if r.Host != "" {
		count("Host", r.Host)
	}
	for name, values := range r.Header {
		for _, value := range values {
			count(name, value)
		}
	}
	switch {
	case size > limitOr(lim.MaxBytes, defaultMaxBytes):
		return errLongHead
	case fields > limitOr(lim.MaxFields, defaultMaxFields):
		return errManyFields
	}
	return nil
}
