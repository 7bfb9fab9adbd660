import java.util.ArrayList;
import java.util.List;
import net.servicestack.client.IReturn;
import net.servicestack.client.Route;

/** Builds a request for each operation, which shows that the DTOs compile, and prints what each returns. */
public class Main {
    public static void main(String[] arguments) {
        ArrayList<String> calls = new ArrayList<>(List.of("CA1"));
        Object[] requests = {
            new dtos.NewBillable().setAccountId("acc").setCustomerId("cus").setSessionId("S1").setCallSid("CA1")
                .setOccurredAt("2026-03-01T08:30:00Z"),
            new dtos.ListBillables().setFrom("2026-03-01T00:00:00Z").setTo("2026-04-01T00:00:00Z").setLimit(10L),
            new dtos.CheckBillables().setCallSids(calls),
            new dtos.GetBillable().setId("id"),
            new dtos.GetBilling().setStartDate("2026-03-01").setEndDate("2026-03-31").setGroupBy("day"),
            new dtos.ReadLog().setAfter("cursor").setWait(1L),
            new dtos.VoidBillable().setId("id").setReason("a test call"),
            new dtos.AttributeSession().setSessionId("S1").setAccountId("acc").setCustomerId("cus"),
            new dtos.GetSession().setSessionId("S1"),
        };
        for (Object request : requests) {
            Route route = request.getClass().getAnnotation(Route.class);
            Object returns = request instanceof IReturn ? ((IReturn<?>) request).getResponseType() : "nothing";
            System.out.printf("Java: %s %s, %s returns %s%n",
                route.Verbs(), route.Path(), request.getClass().getSimpleName(), returns);
        }
        ArrayList<dtos.Billable> items = new dtos.ListOfBillable().setItems(new ArrayList<>()).getItems();
        Boolean isComplete = new dtos.Session().setIsComplete(true).getIsComplete();
        if (!items.isEmpty() || !isComplete) {
            throw new AssertionError("getters give back what was set");
        }
    }
}
