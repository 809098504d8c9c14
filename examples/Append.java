import java.net.URI;
import java.net.http.*;
public class Append {
    static final String SESSION = "http://localhost:8000/v1/working-memory/java-1";
    static final String MESSAGE = "{\"messages\": [{\"role\": \"user\", \"content\": \"hi from Java\"}]}";

    public static void main(String[] arguments) throws Exception {
        System.out.println(ask(HttpRequest.newBuilder(URI.create(SESSION + "/messages"))
            .header("Content-Type", "application/json").header("Idempotency-Key", "turn-1")
            .POST(HttpRequest.BodyPublishers.ofString(MESSAGE)).build()));
        System.out.println(ask(HttpRequest.newBuilder(URI.create(SESSION + "?recent_messages_limit=20")).build()));
    }

    static String ask(HttpRequest request) throws Exception {
        var client = HttpClient.newHttpClient();
        var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new IllegalStateException(answer.body());
        return answer.body();
    }
}
