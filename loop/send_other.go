//go:build !linux || race

package loop

import "golang.org/x/sys/unix"

// Under the race detector a send orders what came before it and what comes after its receipt, as it
// does everywhere else in Go: programs that talk to themselves rely on that. x/sys/unix is what
// gnet reads with.

func sendRaw(fd int, p []byte) (int, error) {
	n, err := unix.Write(fd, p)
	return max(n, 0), err
}

func sendParts(fd int, parts [][]byte) (sent int, err error) {
	for _, p := range parts {
		n, err := sendRaw(fd, p)
		if sent += n; err != nil || n < len(p) {
			return sent, err
		}
	}
	return sent, nil
}
