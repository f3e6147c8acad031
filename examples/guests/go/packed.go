package main

import (
	"fmt"
	"os"

	bulk "example.com/mqtt/imports/mqtt_wasi_client_bulk"
	mqtt "example.com/mqtt/imports/mqtt_wasi_client_mqtt"
	wit "go.bytecodealliance.org/pkg/wit/types"
)

const topic = "mqtt-wasi/guest/packed"

func must[T any](result wit.Result[T, mqtt.Failure]) T {
	if result.IsErr() {
		fmt.Println("failed:", result.Err().Message)
		os.Exit(1)
	}
	return result.Ok()
}

//go:wasmexport wasi:cli/run@0.2.0#run
func run() int32 {
	options := mqtt.MakeConnectOptions()
	options.SetAcknowledgeByHand(true)
	client := must(mqtt.Connect(os.Args[1], wit.Some(options)))
	must(client.Subscribe(topic+"/#", mqtt.Qos_ExactlyOnce))

	language := append([]byte{0x26, 0, 8}, "language\x00\x02Go"...)
	frames := pack(
		frame{topic: topic + "/text", payload: []byte("hello"), qos: 1, properties: textProperties},
		frame{topic: topic + "/bytes", payload: []byte{0, 127, 255}},
		frame{topic: topic, payload: make([]byte, 1_000), qos: 2, properties: language},
	)
	for _, unpublished := range must(bulk.PublishPacked(client, frames)) {
		fmt.Printf("%d: %s\n", unpublished.Index, unpublished.Failure.Message)
	}

	for received := 0; received < 3; {
		for f := range unpack(must(bulk.ReceivePacked(client, 100, 1_000_000, 5_000))) {
			acknowledged := f.delivery != nil && client.Acknowledge(*f.delivery)
			fmt.Println(f.topic, f.qos, len(f.payload), f.payload[0], acknowledged)
			for name, value := range userProperties(f.properties) {
				fmt.Printf("user-property: %s=%s\n", name, value)
			}
			received++
		}
	}
	must(client.Disconnect(wit.None[mqtt.Disconnection]()))
	return 0
}

func main() {}
