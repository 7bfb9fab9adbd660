// The DTO as ServiceStack's generator writes it for an operation that returns nothing: the page's
// members, and three methods that tell the client its name, its verb and that there is no result.
import type { IReturnVoid } from "@servicestack/client";

export interface IPost {}

// @Route("/billables", "POST")
export class NewBillable implements IReturnVoid, IPost
{
    public accountId?: string;
    public customerId?: string;
    public sessionId?: string;
    public callSid?: string;

    public constructor(init?: Partial<NewBillable>) { (Object as any).assign(this, init); }
    public getTypeName() { return 'NewBillable'; }
    public getMethod() { return 'POST'; }
    public createResponse() {}
}
