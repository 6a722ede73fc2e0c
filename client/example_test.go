package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/agloop/agloop/client"
)

// A URL that cannot be dialled is no refusal: that is a DialError, with the HTTP status of a server.
func ExampleDial() {
	_, err := client.Dial(context.Background(), "wss://localhost/ws", client.Config{})
	fmt.Println(err)
	_, err = client.Dial(context.Background(), "http://localhost/", client.Config{})
	refused, isRefused := errors.AsType[*client.DialError](err)
	fmt.Println(err, refused, isRefused)
	// Output:
	// agloop: wss is not supported yet
	// agloop: URL: scheme "http" must be ws, as in ws://host:port/path <nil> false
}
