// Mocha's spec reporter, followed by one plain line that programs can read:
// N passed, N failed, N skipped
import mocha from 'mocha';

export default class PlainSummary extends mocha.reporters.Spec {
  epilogue() {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    console.log(`${passes} passed, ${failures} failed, ${pending} skipped`);
  }
}
