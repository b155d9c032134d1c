/** `--funding`: who sends the transaction that moves the deposit. Spec: spec/PAYMENT.md#relay. */
import { Option } from 'commander'

export function fundingOption(): Option {
  return new Option(
    '--funding <how>',
    'who sends the deposit: you, or the provider where your account has no gas',
  ).choices(['auto', 'own', 'relayed'])
}
