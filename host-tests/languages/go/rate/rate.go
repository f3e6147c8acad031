// Publishes 64 bytes at QoS 0, as often as the last argument says: one by one, or in batches.
package main

import (
	"errors"
	"strconv"
	"strings"

	"example.com/guest/mqtt"
)

const batch = 1_000

func program(args []string) error {
	client, err := mqtt.Connect(args[0])
	if err != nil {
		return err
	}
	left, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	message := mqtt.Message{Topic: "mqtt-wasi/guest/rate", Payload: []byte(strings.Repeat("x", 64)), IsText: true}
	messages := make([]mqtt.Message, batch)
	for i := range messages {
		messages[i] = message
	}
	for ; args[1] == "batches" && left >= batch; left -= batch {
		if err := errors.Join(client.PublishBatch(messages)...); err != nil {
			return err
		}
	}
	for ; left > 0; left-- {
		if err := client.Publish(message); err != nil {
			return err
		}
	}
	return client.Disconnect()
}

//go:wasmexport wasi:cli/run@0.2.0#run
func run() int32 { return mqtt.Command(program) }

func main() {}
