/** What is left of the user's quotas, in words. */
/** A quota, as `GET /quota` has it. */
export interface Quota {
    quota: string;
    scope: string;
    limit: number;
    used: number;
    left: number;
    refilled?: string;
}
/**
 * The quotas in words, a sentence or two for each of which there is something to tell. Of those
 * with one name, such as those of a user and of a token, only the one with the least left counts.
 */
export declare function describeQuotas(quotas: Quota[], formatTime?: (date: Date) => string): string;
