package main

import (
	"fmt"
	"os"
	"strconv"

	mqtt "example.com/mqtt/imports/mqtt_wasi_client_mqtt"
	wit "go.bytecodealliance.org/pkg/wit/types"
)

const topic = "mqtt-wasi/guest/go"

var kinds = [...]string{
	"wrong-call", "try-later", "timed-out", "refused", "connection-over", "not-trusted", "protocol-broken",
}

// What a call returned. Ends the program if it failed.
func must[T any](result wit.Result[T, mqtt.Failure]) T {
	if result.IsErr() {
		fmt.Println("failed:", result.Err().Name, result.Err().Message)
		os.Exit(1)
	}
	return result.Ok()
}

// With `main` as the program, its memory would be asked for before Go is there to manage it.
//
//go:wasmexport wasi:cli/run@0.2.0#run
func run() int32 {
	client := must(mqtt.Connect(os.Args[1], wit.None[*mqtt.ConnectOptions]()))
	must(client.Subscribe(topic+"/#", mqtt.Qos_AtLeastOnce))
	language := mqtt.MakePropertyUserProperty(mqtt.UserProperty{F0: "language", F1: "Go"})
	properties := []mqtt.Property{mqtt.MakePropertyContentType("text/plain"), language}
	hello := mqtt.MakePayloadText("hello")
	publication := mqtt.Publication{Topic: topic, Payload: hello, Qos: mqtt.Qos_AtLeastOnce, Properties: properties}
	must(client.PublishMessage(publication))
	message := must(client.Receive(5_000)).Some()
	fmt.Printf("received %s: %s\n", message.Topic, message.Payload.Text())
	for _, property := range message.Properties.SomeOr(nil) {
		if property.Tag() == mqtt.Property_ContentType {
			fmt.Println("content-type:", property.ContentType())
		} else if property.Tag() == mqtt.Property_UserProperty {
			fmt.Printf("user-property: %s=%s\n", property.UserProperty().F0, property.UserProperty().F1)
		}
	}
	if result := client.Publish("a/#", hello, mqtt.Qos_AtLeastOnce, false); result.IsErr() {
		fmt.Printf("refused: %s %s: %s\n", kinds[result.Err().Kind], result.Err().Name, result.Err().Message)
	}
	square := mqtt.Publication{Topic: topic + "/square", Payload: mqtt.MakePayloadText("2"), Qos: mqtt.Qos_AtLeastOnce}
	question := must(client.StartRequest(square, 5_000))
	request := must(client.NextRequest(5_000)).Some()
	number, _ := strconv.Atoi(request.Message.Payload.Text())
	must(client.Reply(request.Id, mqtt.MakePayloadText(strconv.Itoa(number*number))))
	reply := must(client.WaitForReply(question, 5_000)).Some()
	fmt.Println("reply:", reply.Payload.Text())
	must(client.Disconnect(wit.None[mqtt.Disconnection]()))
	return 0
}

func main() {}
