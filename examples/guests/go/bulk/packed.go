package main

import (
	"errors"
	"fmt"

	bulk "example.com/bindings/imports/mqtt_wasi_client_bulk"
	"example.com/guest/mqtt"
)

const topic = "mqtt-wasi/guest/packed"

func program(args []string) error {
	client, err := mqtt.Connect(args[0], func(options *mqtt.Options) { options.SetAcknowledgeByHand(true) })
	if err != nil {
		return err
	}
	return errors.Join(client.Subscribe(topic+"/#", 2), publish(client), receive(client, 3), client.Disconnect())
}

func publish(client *mqtt.Client) error {
	language := append([]byte{0x26, 0, 8}, "language\x00\x02Go"...)
	frames := pack(
		frame{topic: topic + "/text", payload: []byte("hello"), qos: 1, properties: textProperties},
		frame{topic: topic + "/bytes", payload: []byte{0, 127, 255}},
		frame{topic: topic, payload: make([]byte, 1_000), qos: 2, properties: language},
	)
	unpublished, err := mqtt.Try(bulk.PublishPacked(client.Raw, frames))
	for _, one := range unpublished {
		fmt.Printf("%d: %s\n", one.Index, one.Failure.Message)
	}
	return err
}

func receive(client *mqtt.Client, messages int) error {
	for messages > 0 {
		frames, err := mqtt.Try(bulk.ReceivePacked(client.Raw, 100, 1_000_000, 5_000))
		if err != nil {
			return err
		}
		for f := range unpack(frames) {
			acknowledged := f.delivery != nil && client.Raw.Acknowledge(*f.delivery)
			fmt.Println(f.topic, f.qos, len(f.payload), f.payload[0], acknowledged)
			for name, value := range userProperties(f.properties) {
				fmt.Printf("user-property: %s=%s\n", name, value)
			}
			messages--
		}
	}
	return nil
}

//go:wasmexport wasi:cli/run@0.2.0#run
func run() int32 { return mqtt.Command(program) }

func main() {}
