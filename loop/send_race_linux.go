//go:build race

package loop

import "golang.org/x/sys/unix"

// Under the race detector a send orders what came before it and what comes after its receipt, as it does everywhere else in
// Go: programs that talk to themselves rely on that. x/sys/unix is what gnet reads with.

func sendRaw(fd int, p []byte) int {
	n, err := unix.Write(fd, p)
	if err != nil {
		return 0
	}
	return n
}

func sendTwo(fd int, a, b []byte) int {
	return sendRaw(fd, append(append([]byte(nil), a...), b...))
}
