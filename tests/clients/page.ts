// The DTO verbatim from Evo Voice's metadata page, after the two types that the page names but does
// not show.
interface IPost {}
interface NodeParameter {}

export class NodeParameterMap
{
    [key:string] : NodeParameter;

    public constructor(init?: Partial<NodeParameterMap>) { (Object as any).assign(this, init); }
}


/**
* Report/create a new billable
*/
// @Api(Description="Report/create a new billable")
export class NewBillable implements IPost
{
    /**
    * The account to associate the billable with
    */
    // @ApiMember(Description="The account to associate the billable with")
    public accountId?: string;

    /**
    * The customer to associate the billable with
    */
    // @ApiMember(Description="The customer to associate the billable with")
    public customerId?: string;

    /**
    * The session ID to associate the billable with. You must specify either this or (AccountId + CustomerID)
    */
    // @ApiMember(Description="The session ID to associate the billable with. You must specify either this or (AccountId + CustomerID)")
    public sessionId?: string;

    /**
    * The call SID to report
    */
    // @ApiMember(Description="The call SID to report")
    public callSid?: string;

    public constructor(init?: Partial<NewBillable>) { (Object as any).assign(this, init); }
}
