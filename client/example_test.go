package client_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/agloop/agloop/client"
)

// A URL that cannot be dialled is no refusal: that is a DialError, with the HTTP status of a server.
func ExampleDial() {
	_, err := client.Dial(context.Background(), "http://localhost/", client.Config{})
	refused, isRefused := errors.AsType[*client.DialError](err)
	fmt.Println(err, refused, isRefused)
	// Output:
	// agloop: URL: scheme "http" must be ws or wss, as in wss://host:port/path <nil> false
}
