//go:build !linux

package loop

// sendRaw and sendTwo leave all to gnet.
func sendRaw(int, []byte) int { return 0 }

func sendTwo(int, []byte, []byte) int { return 0 }
